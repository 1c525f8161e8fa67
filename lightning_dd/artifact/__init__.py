"""The distilled data set as a file, with torch and safetensors alone."""
