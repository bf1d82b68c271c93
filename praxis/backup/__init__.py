"""`praxis backup` and `praxis restore`: state and files as one archive, taken while serving, put back whole or not at all."""
