"""Export of volumes with their geometry: NIfTI, NRRD, DICOM-SEG, meshes."""
