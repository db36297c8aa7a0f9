"""What the model servers share."""
