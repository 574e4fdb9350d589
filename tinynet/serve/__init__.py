"""The service: a net behind HTTP, with its page, its interface and its limits. It needs the extra `serve`."""
