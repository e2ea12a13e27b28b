"""What every host needs: models, jobs, the annotation session, export, the command line."""
