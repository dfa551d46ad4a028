"""What is not yet right for production, each with the command or setting that corrects it."""
