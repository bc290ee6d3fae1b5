#!/usr/bin/env bash
# Copies small golden streams into the committed corpus of each target that reads streams.
set -euo pipefail
cd "$(dirname "$0")"
for target in verify decode_value dis outline; do
    mkdir -p "corpus/$target"
    for name in plain_0 plain_2 plain_5 shared_0 shared_4 containers_4 sets_4 bytearray_5 library_2 library_5 \
        out_of_band_5; do
        cp "../golden/$name.pkl" "corpus/$target/$name"
    done
done
