"""What operators and testers hold."""

__all__: list[str] = []
