#!/bin/sh
# Says whether an amount is above the limit of a country: score.sh COUNTRY AMOUNT
while read -r country limit; do
  if [ "$country" = "$1" ]; then
    if [ "$2" -gt "$limit" ]; then echo suspicious; else echo fine; fi
    exit 0
  fi
done < "$(dirname "$0")/table"
echo "there is no limit for $1" >&2
exit 1
