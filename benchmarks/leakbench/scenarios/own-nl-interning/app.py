"""Words of texts are kept once each in a table. A language has so many: the common ones come at once, the rare late."""

import random

WORDS, VOCABULARY = {}, 4000
chance = random.Random(5)


def intern_word(word):
    return WORDS.setdefault(word, word)


def app(environ, start_response):
    text = [f"word-{int(chance.paretovariate(0.35)) % VOCABULARY:05d}-{'x' * 30}" for _ in range(6)]
    kept = [intern_word(word) for word in text]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(len(kept)).encode()]
