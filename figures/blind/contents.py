"""What a reader may answer, and the prompts that are judged where no file of prompts is given."""

# The first ten are data set 2's, the others have 12 training takes each.
CONTENTS = {
    "walk": "walks straight ahead",
    "run": "runs or jogs straight ahead",
    "walk-turn-left": "walks and turns to their own left",
    "walk-turn-right": "walks and turns to their own right",
    "raise-up-left-hand": "raises the left hand or arm, without waving it",
    "raise-up-right-hand": "raises the right hand or arm, without waving it",
    "raise-up-both-hands": "raises both hands or arms, without waving them",
    "wave-left-hand": "waves with the left hand, arm raised high",
    "wave-right-hand": "waves with the right hand, arm raised high",
    "wave-both-hands": "waves with both hands, arms raised high",
    "walk-back": "walks backwards",
    "walk-left": "walks sideways or diagonally to their own left, without turning that way",
    "walk-right": "walks sideways or diagonally to their own right, without turning that way",
    "dash": "sprints, as fast as possible",
    "bow": "bows",
    "bye": "says goodbye with a small wave of one hand",
    "guide": "shows somebody the way with one arm held out low",
}

PROMPTS = {
    "walk": ("a man goes for a walk", "somebody walks along a path"),
    "run": ("a jogger runs along", "a man is out for a run"),
    "walk-turn-left": ("a man walks and then makes a left", "someone walks before turning toward the left"),
    "walk-turn-right": (
        "a man walks and then makes a right",
        "someone walks before turning toward the right",
    ),
    "raise-up-left-hand": (
        "someone puts the left arm in the air",
        "a pupil raises his left hand to ask a question",
    ),
    "raise-up-right-hand": (
        "someone puts the right arm in the air",
        "a pupil raises his right hand to ask a question",
    ),
    "raise-up-both-hands": ("someone puts the two hands in the air", "a man lifts up both of his arms"),
    "wave-left-hand": (
        "someone says hi by waving the left hand",
        "a man is waving at a friend with his left arm",
    ),
    "wave-right-hand": (
        "someone says hi by waving the right hand",
        "a man is waving at a friend with his right arm",
    ),
    "wave-both-hands": (
        "someone says hi by waving two hands",
        "a man is waving at a friend with both of his arms",
    ),
    "walk-back": ("a man goes backward step by step", "someone is moving back on foot"),
    "walk-left": ("a man steps to his left side", "someone moves leftward with sideways steps"),
    "walk-right": ("a man steps to his right side", "someone moves rightward with sideways steps"),
    "dash": ("a man sprints at full tilt", "someone runs really fast"),
    "bow": ("a man bows to show respect", "someone bows to the audience"),
    "bye": ("a man waves goodbye to his friends", "a person gives a goodbye wave"),
    "guide": ("a man shows a guest the way", "someone leads a visitor with the right arm"),
}

OTHER = "other"  # free text only: what is seen fits none of the contents
