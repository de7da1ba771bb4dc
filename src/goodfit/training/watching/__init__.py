"""What the machine does while a model trains: processors, memory, GPU."""
