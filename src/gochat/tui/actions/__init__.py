"""What the person does, done: the only package that calls the client."""
