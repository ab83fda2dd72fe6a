"""How good is it? Blind judgement of film strips (`blind.py`)."""
