import dataclasses

import pytest
import torch
from made_up.tokenizer import SMALL, made, seeded

from mmm.tokenizer.model import decode_in_pieces, decoder_reach


@pytest.fixture(scope="module", params=[1, 2])
def tokenizer(request):
    return made(dataclasses.replace(SMALL, parts=request.param))


@pytest.mark.parametrize("frames", [397, 400])
def test_pieces_are_what_is_decoded_at_once(tokenizer, frames):
    tokens = torch.randint(32, (tokenizer.config.parts, 100), generator=seeded())
    whole = tokenizer.decode(tokens[None], torch.tensor([frames]))[0, :frames]
    pieces = list(decode_in_pieces(tokenizer, tokens, frames, piece=16))
    assert [len(piece) for piece in pieces[:-1]] == [64] * 6 and len(pieces) == 7
    assert torch.allclose(torch.cat(pieces), whole, atol=1e-5)


def test_the_reach_is_exactly_as_far_as_a_token_bears(tokenizer):
    """A token within reach changes the frames of another one; the next farther token does not."""
    reach = decoder_reach(tokenizer.config)
    tokens = torch.zeros(1, tokenizer.config.parts, 4 * reach, dtype=torch.long)
    other = tokens.clone()
    other[:, :, 2 * reach] = 5
    moved = (tokenizer.decode(tokens) != tokenizer.decode(other)).any(2)[0].nonzero()[:, 0]
    farthest = int((moved // 4 - 2 * reach).abs().max())
    assert farthest in (reach - 1, reach)


def test_frames_that_do_not_fit_the_tokens_are_refused(tokenizer):
    tokens = torch.zeros(tokenizer.config.parts, 10, dtype=torch.long)
    with pytest.raises(ValueError, match="10 tokens are 37 to 40 frames, not 41"):
        list(decode_in_pieces(tokenizer, tokens, 41))
