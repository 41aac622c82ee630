"""What a compiled step costs: work, communication and memory of one device."""
