"""What the workers run: apart from the tasks, so that the driver stays light."""
