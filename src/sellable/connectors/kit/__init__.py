"""What connectors share: the form of their declaration, the reading of answers, lenient decoding."""
