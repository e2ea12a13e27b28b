"""Label Studio ML backend, from requests and regions to annotation sessions and back."""
