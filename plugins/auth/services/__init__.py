"""The rules of accounts, one module for each matter; they know no request."""
