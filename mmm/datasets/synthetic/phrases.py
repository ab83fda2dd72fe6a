"""Phrases for every action; `grammar.phrase_table` reads the tables.

`<verb>` is inflected by the syntax, `<verb:ing>` is always a participle. SIDE is left or right, OTHER the opposite,
TURNWISE clockwise or counterclockwise, {the} an article or a possessive, {N} a numeral. A phrase with "|fact" is used
only where the fact is true: a speed, an angle, "one" or "many" repetitions, "count" for phrases with a numeral; see
`captions.choices`.
"""

from mmm.datasets.grammar import phrase_table

PHRASES = phrase_table("""
stand: <stand> still / <stand> in place / <stay> where {he} <be> / <remain> motionless / <wait> calmly / <stand>
    upright without <move:ing> / <keep> still / <pause> and <stand> / <stand> idle / <do> nothing / <rest> on both
    feet
walk forward: <walk> forward / <walk> straight ahead / <walk> / <stroll> forward / <take> several steps forward /
    <go> forward / <step> forward / <move> ahead on foot / <walk> in a straight line / <stride> ahead / <advance>
    with even steps / <pace> forward / <wander> straight ahead / <proceed> forward on foot
walk backward: <walk> backward / <walk> backwards / <step> back / <back> away / <take> several steps back / <move>
    backward / <retreat> / <go> backwards step by step / <walk> in reverse / <back> up
walk side: <walk> sideways to the SIDE / <sidestep> to the SIDE / <step> sideways to the SIDE / <shuffle> to the
    SIDE / <move> sideways to the SIDE / <take> side steps to the SIDE / <walk> to the SIDE without <turn:ing> /
    <go> sideways in the SIDE direction / <side-step> SIDE
walk_curve: <walk> in a curve to the SIDE / <curve> to the SIDE while <walk:ing> / <walk> along an arc to the SIDE /
    <veer> to the SIDE / <walk> in a semicircle toward the SIDE / <bend> to the SIDE on {the} way / <follow> a
    curved path to the SIDE / <stroll> around a bend to the SIDE / <walk> TURNWISE in an arc / <drift> in a wide
    curve to the SIDE / <circle> to the SIDE while <walk:ing>
walk_turn: <walk> forward, <turn> SIDE and <continue>|90 / <walk> and <turn> to the SIDE|90 / <walk> ahead and
    <make> a sharp SIDE turn|90 / <walk> around a corner to the SIDE|90 / <turn> SIDE while <walk:ing>|90 / <walk>,
    <take> a SIDE turn and <walk> on|90 / <walk> forward, <turn> around to the SIDE and <come> back|180 / <walk>,
    <turn> back around to the SIDE and <return>|180 / <walk> ahead and <make> a u-turn to the SIDE|180 / <stroll>
    forward, <reverse> direction to the SIDE and <walk> back|180
run: <run> forward / <run> straight ahead / <jog> forward|slow / <jog>|slow / <run> / <sprint> forward|fast / <dash>
    ahead|fast / <race> forward|fast / <trot> ahead|slow / <run> in a straight line / <rush> forward|fast / <go> for
    a run / <move> forward at a run
run side: <run> in a curve to the SIDE / <run> along an arc to the SIDE / <run> and <turn> to the SIDE / <curve> to
    the SIDE while <run:ing> / <jog> around a bend to the SIDE|slow / <sprint> in an arc to the SIDE|fast
march forward: <march> forward / <march> ahead with high knees / <parade> forward / <march> like a soldier / <walk>
    forward <lift:ing> the knees high / <advance> with raised knees / <strut> ahead like in a parade
march place: <march> in place / <march> on the spot / <lift> the knees in turn without <advance:ing> / <step> in
    place with high knees / <raise> the knees one after the other / <walk> on the spot with high knees / <stamp> in
    place
turn: <turn> to the SIDE|90 / <turn> SIDE|90 / <make> a quarter turn to the SIDE|90 / <rotate> TURNWISE|90 / <face>
    SIDE|90 / <turn> ninety degrees to the SIDE|90 / <turn> around to the SIDE|180 / <make> a half turn to the
    SIDE|180 / <rotate> TURNWISE to face backward|180 / <swivel> around over the SIDE shoulder|180 / <turn> around
    TURNWISE|180 / <do> an about-face to the SIDE|180 / <turn> in a full circle to the SIDE|360 / <spin> around
    completely to the SIDE|360 / <make> a whole turn TURNWISE|360 / <rotate> once all the way around to the SIDE|360
jump place: <jump> up / <jump> in place / <jump> on the spot / <leap> up / <hop> with both feet / <leap> into the
    air / <spring> off the ground / <bounce> up and down|many / <do> {N} vertical leaps|count / <make> {N} jumps in
    place|count
jump forward: <jump> forward / <leap> forward / <hop> ahead with both feet / <do> {N} long jumps|count / <bound>
    forward / <make> {N} jumps to the front|count / <spring> forward off both legs / <leap> ahead like a frog
squat: <squat> / <squat> down and <stand> up / <do> {N} squats|count / <bend> {the} knees and <come> back up /
    <crouch> down and <rise> again / <perform> {N} knee bends|count / <lower> {the} hips and <stand> back up /
    <sink> into a squat and <get> up / <go> down into a crouch and <straighten> up / <exercise> with {N}
    squats|count
bow: <bow> / <take> a bow|one / <bow> politely / <bend> forward at the waist / <lean> the upper body forward and
    <straighten> up / <bow> to the audience / <greet> someone with a bow|one / <make> {N} bows|count / <bow>
    respectfully / <lower> {the} head and back in a bow|one / <tip> {the} trunk forward
sit: <sit> down and <get> up / <sit> down and <stand> up again / <take> a seat and then <rise> / <sit> on a chair
    and <get> back up / <sit> down, <wait> a moment and <stand> up / <have> a seat, then <get> to {the} feet /
    <lower> onto a chair and <stand> back up / <sit> for a while and <rise> again / <settle> on a stool and <get> up
kick: <kick> with {the} SIDE foot / <kick> with {the} SIDE leg / <kick> {the} SIDE leg forward / <do> {N} kicks with
    {the} SIDE foot|count / <swing> {the} SIDE foot in a kick / <kick> something using {the} SIDE foot / <give> {N}
    kicks with {the} SIDE leg|count / <kick> a ball with {the} SIDE foot / <strike> forward with {the} SIDE foot
wave: <wave> {the} SIDE hand / <wave> with {the} SIDE hand / <wave> {the} SIDE arm / <wave> hello with {the} SIDE
    hand / <greet> somebody by <wave:ing> {the} SIDE hand / <raise> {the} SIDE hand and <wave> / <wave> to someone
    using {the} SIDE hand / <swing> the raised SIDE hand from side to side / <say> goodbye by <wave:ing> {the} SIDE
    arm / <signal> with {the} SIDE hand / <beckon> with a wave of {the} SIDE hand / <hold> up {the} SIDE hand and
    <shake> it
wave both: <wave> both hands / <wave> with both arms / <wave> {the} two hands in the air / <signal> with both hands
    / <hold> up both hands and <wave> / <greet> the crowd by <wave:ing> both arms / <swing> both raised hands from
    side to side
raise: <raise> {the} SIDE arm / <raise> {the} SIDE hand / <lift> {the} SIDE arm / <lift> {the} SIDE hand up high /
    <put> up {the} SIDE hand / <hold> {the} SIDE arm in the air / <reach> up with {the} SIDE hand / <extend> {the}
    SIDE arm upward / <bring> {the} SIDE hand above the head / <point> to the sky with {the} SIDE hand / <stick>
    {the} SIDE arm up
raise both: <raise> both arms / <raise> both hands / <lift> both arms up / <put> both hands up / <hold> both arms in
    the air / <reach> up with both hands / <throw> up {the} arms / <bring> both arms above the head / <surrender>
    with both hands up
clap: <clap> / <clap> {the} hands / <applaud> / <clap> the hands together / <give> applause / <bring> the palms
    together in a clap|one / <clap> in front of {the} chest / <cheer> by <clap:ing> / <strike> the palms together
punch: <punch> with {the} SIDE hand / <punch> with {the} SIDE fist / <throw> {N} punches with {the} SIDE arm|count /
    <jab> with {the} SIDE hand / <hit> forward with {the} SIDE fist / <box> with {the} SIDE hand / <thrust> {the}
    SIDE fist forward / <strike> the air with {the} SIDE fist / <land> {N} blows with {the} SIDE hand|count
punch both: <punch> with both hands in turn / <box> with both fists / <throw> {N} punches with alternating
    hands|count / <punch> the air with both arms / <jab> with one fist after the other / <fight> an invisible
    opponent with both fists
throw: <throw> something with {the} SIDE hand / <throw> a ball with {the} SIDE hand / <hurl> an object using {the}
    SIDE arm / <toss> something forward with {the} SIDE hand / <pitch> a baseball with {the} SIDE arm / <fling> a
    stone with {the} SIDE hand / <wind> up and <throw> with {the} SIDE arm / <lob> a ball overhand with {the} SIDE
    hand / <cast> a spear with {the} SIDE arm
stretch up: <stretch> / <stretch> both arms overhead / <stretch> {the} whole body upward / <reach> for the ceiling
    in a long stretch / <stretch> {the} back / <extend> {the} arms over the head to stretch / <loosen> up with a
    stretch / <yawn> and <stretch>
stretch side: <stretch> to the SIDE / <stretch> both arms overhead and <lean> to the SIDE / <bend> sideways to the
    SIDE in a stretch / <stretch> {the} waist to the SIDE / <lean> SIDE with both arms above the head / <tilt> to
    the SIDE to stretch / <warm> up with a stretch to the SIDE
look: <look> around / <look> around, first to the SIDE / <turn> {the} head to the SIDE and then the other way /
    <glance> to the SIDE and back / <search> for something, <start:ing> on the SIDE / <scan> the surroundings from
    the SIDE / <look> SIDE and then OTHER / <gaze> about / <look> over the SIDE shoulder, then to the OTHER /
    <check> both sides of the road / <peer> around / <look> from SIDE to OTHER
""")
SPEED = phrase_table("""
slow: slowly / at a slow pace / in slow motion / without any hurry / calmly / at low speed / lazily / leisurely
normal: steadily / casually / at a normal pace / in a relaxed manner / naturally
fast: quickly / fast / rapidly / at a fast pace / in a hurry / briskly / swiftly / hastily / at high speed
""")
SIZE = {
    "walk forward": phrase_table(
        "small: with small steps / with short steps\nbig: with big steps / with long strides"
    ),
    "jump": phrase_table(
        "small: slightly / a little / just a bit\nbig: high / with great effort / as high as possible"
    ),
    "jump forward": phrase_table(
        "small: a short distance / a little\nbig: a long way / far / with great power"
    ),
    "squat": phrase_table("small: slightly / halfway / a little\nbig: deeply / very low / all the way down"),
    "bow": phrase_table(
        "small: slightly / a little / with a small movement\nbig: deeply / very low / with great respect"
    ),
    "kick": phrase_table(
        "small: low / at shin height / near the ground\nbig: high / up to the chest / powerfully"
    ),
    "wave": phrase_table(
        "small: with small movements / subtly / discreetly\nbig: with big movements / widely / energetically"
    ),
}
SUBJECTS = phrase_table("""
he: a man / the man / a guy / a boy / a gentleman / the guy / an adult man / a young man / an old man
she: a woman / the woman / a girl / a lady / the lady / a young woman
they: a person / the person / someone / somebody / a human / the figure / an individual / a figure / the character /
    a stick figure / this person / one person / a performer / an athlete / a dancer
""")
NUMBERS = "zero one two three four five six seven eight nine ten".split()
