#!/usr/bin/env bash
# Regenerates kjv_train.txt and kjv_validation.txt, byte for byte, from Debian's bible-kjv and bible-kjv-text (4.38).
# Usage: make_corpus.sh [FOLDER]   (default: the folder of this script)
set -euo pipefail
export LC_ALL=C

out=$(cd "${1:-$(dirname "$0")}" && pwd)
command -v bible >/dev/null || { echo "make_corpus.sh: the program 'bible' is missing: apt-get install bible-kjv bible-kjv-text" >&2; exit 1; }

# The program's abbreviation of a book, and the title that the text gets.
train="Ge=GENESIS Exo=EXODUS Josh=JOSHUA Jdgs=JUDGES 1Sm=THE_FIRST_BOOK_OF_SAMUEL 2Sm=THE_SECOND_BOOK_OF_SAMUEL
       John=THE_GOSPEL_ACCORDING_TO_JOHN Acts=THE_ACTS_OF_THE_APOSTLES"
validation="Ruth=THE_BOOK_OF_RUTH Est=THE_BOOK_OF_ESTHER Jonah=JONAH Jas=THE_EPISTLE_OF_JAMES"

# From lines "Ge1:1 In the beginning ..." to a title per book, a heading per chapter, one verse a line without its number.
write_books() {
  awk -v books="$1" '
    BEGIN {
      count = split(books, pairs)
      for (i = 1; i <= count; i++) { split(pairs[i], pair, "="); gsub(/_/, " ", pair[2]); title[pair[1]] = pair[2] }
    }
    {
      match($0, /[0-9]+:[0-9]+ /)
      book = substr($0, 1, RSTART - 1)
      if (!(book in title)) next
      chapter = substr($0, RSTART, index($0, ":") - RSTART)
      if (book != last_book) printf "%s%s\n", (started++ ? "\n\n" : ""), title[book]
      if (book != last_book || chapter != last_chapter) printf "\nChapter %d\n\n", chapter
      print substr($0, RSTART + RLENGTH)
      last_book = book
      last_chapter = chapter
    }'
}

everything=$(bible -f 'Gen1:1-Rev22:21' </dev/null)
write_books "$train" <<<"$everything" >"$out/kjv_train.txt"
write_books "$validation" <<<"$everything" >"$out/kjv_validation.txt"
(cd "$out" && wc -c kjv_train.txt kjv_validation.txt)
