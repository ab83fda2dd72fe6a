"""Captions → embeddings: frozen text encoders, and the cache of what they say of a data set's captions."""

from mmm.text.cache import LiveText, TextCache, TextSource, text_source
from mmm.text.encoder import ClipTextEncoder, TextEmbedding, TextEncoder, load_text_encoder

__all__ = [
    "ClipTextEncoder",
    "LiveText",
    "TextCache",
    "TextEmbedding",
    "TextEncoder",
    "TextSource",
    "load_text_encoder",
    "text_source",
]
