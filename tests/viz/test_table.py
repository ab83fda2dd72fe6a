from mmm.viz.table import markdown_table


def test_numbers_stand_right_unless_the_letters_say_otherwise():
    assert markdown_table(["", "R@1", "FID"], [["real", 0.5, ""]]) == (
        "|  | R@1 | FID |\n| --- | ---: | ---: |\n| real | 0.5 |  |"
    )
    assert markdown_table(["a", "b"], [], "rl") == "| a | b |\n| ---: | --- |"
