// Text → ids of word pieces, as BERT's tokenizer makes them: lower case, no accents, the longest known piece first.

const SPECIAL = /(\[(?:PAD|UNK|CLS|SEP|MASK)\])/;
const CHINESE = /[\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\u{20000}-\u{2ceaf}\u{2f800}-\u{2fa1f}]/gu;
const LONGEST_WORD = 100; // characters; a longer word is unknown

export class WordPiece {
  /** @param {string} vocabulary a piece in each line; its id is the number of the line */
  constructor(vocabulary, special, mostIds) {
    this.ids = new Map(vocabulary.trimEnd().split("\n").map((piece, id) => [piece, id]));
    this.special = special;
    this.mostIds = mostIds;
  }

  /** Pieces of a text, without [CLS] and [SEP]; [UNK] for a word that no pieces make up. */
  pieces(text) {
    return text.split(SPECIAL).flatMap((part) => (SPECIAL.test(part) ? [part] : words(part).flatMap((word) => this.#cut(word))));
  }

  /** Ids of a text, cut to the longest that the encoder reads. */
  encode(text) {
    const ids = this.pieces(text).map((piece) => this.ids.get(piece) ?? this.special["[UNK]"]);
    return [this.special["[CLS]"], ...ids.slice(0, this.mostIds - 2), this.special["[SEP]"]];
  }

  /** How many pieces of a text an English encoder knows, and of how many. */
  known(text) {
    const pieces = this.pieces(text);
    return [pieces.filter((piece) => piece !== "[UNK]" && /^[\x00-\x7f]*$/.test(piece)).length, pieces.length];
  }

  #cut(word) {
    const letters = [...word];
    if (letters.length > LONGEST_WORD) return ["[UNK]"];
    const pieces = [];
    for (let start = 0; start < letters.length; ) {
      let end = letters.length;
      const piece = () => (start ? "##" : "") + letters.slice(start, end).join("");
      while (end > start && !this.ids.has(piece())) end--;
      if (end === start) return ["[UNK]"];
      pieces.push(piece());
      start = end;
    }
    return pieces;
  }
}

/** Words and punctuation marks. */
function words(text) {
  return text
    .replace(/[\0\ufffd]|(?![\t\n\r])\p{C}/gu, "")
    .replace(CHINESE, " $& ")
    .normalize("NFD")
    .replace(/\p{Mn}/gu, "")
    .toLowerCase()
    .replace(/[!-/:-@[-`{-~]|\p{P}/gu, " $& ")
    .split(/\s+/u)
    .filter(Boolean);
}
