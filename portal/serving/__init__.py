"""`manage.py serve`: everything Phaseboard needs, on one machine, under one supervisor."""
