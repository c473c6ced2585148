#!/usr/bin/env bash
# The fraud example, command by command, against a running server on which you are signed in:
#
#   alvara serve --data ./data &
#   alvara login --local --data ./data
#   go run ./examples/fraud/generate --out ./fraud-data
#   examples/fraud/run.sh ./fraud-data
set -euo pipefail
data=${1:?usage: run.sh DATA_FOLDER}
here=$(cd "$(dirname "$0")" && pwd)
group=${GROUP:-fraud} store=fraud-features account=${SOURCE_ACCOUNT:-fraudsource}

# The specifications name the storage account that holds the data.
specs=$(mktemp -d)
trap 'rm -rf "$specs"' EXIT
cp -r "$here"/*.yaml "$here"/transactions "$here"/accounts "$specs"
sed -i "s/SOURCE_ACCOUNT/$account/" "$specs"/*/FeatureSetSpec.yaml

echo "== source data"
alvara group create -n "$group" -l local -o none
alvara storage account create -n "$account" -g "$group" -l local -o none
source=$(alvara storage account show -n "$account" -g "$group" --query id -o tsv)
me=$(alvara ad signed-in-user show --query id -o tsv)
alvara role assignment create --assignee "$me" --role "Storage Blob Data Contributor" --scope "$source" -o none
alvara storage container create -n fraud --account-name "$account" -o none
for part in transactions accounts; do
  alvara storage blob upload-batch --account-name "$account" -d fraud --destination-path "$part" -s "$data/$part" --overwrite -o none
done

echo "== feature store"
alvara ml feature-store create -f "$specs/featurestore.yaml" -g "$group" -o none
identity=$(alvara ml feature-store show -n "$store" -g "$group" --query materialization_identity.principal_id -o tsv)
offline=$(alvara ml feature-store show -n "$store" -g "$group" --query offline_store.target -o tsv)
alvara role assignment create --assignee "$identity" --role "Storage Blob Data Reader" --scope "$source" -o none
alvara role assignment create --assignee "$me" --role "Storage Blob Data Reader" --scope "$offline" -o none

echo "== entity and feature sets"
alvara ml feature-store-entity create -f "$specs/account.yaml" --feature-store "$store" -g "$group" -o none
for set in transactions accounts; do
  alvara ml feature-set create -f "$specs/$set.yaml" --feature-store "$store" -g "$group" -o none
  alvara ml feature-set backfill -n "$set" -v 1 --feature-window-start-time 2020-01-01 --feature-window-end-time 2023-07-01 \
    --data-status None Incomplete Complete --feature-store "$store" -g "$group" --wait -o none
done
alvara ml feature-set list --feature-store "$store" -g "$group" -o table

echo "== a training set, and three accounts online"
alvara features get-offline --feature-store "$store" -g "$group" --features transactions:1 accounts:1:accountAge \
  --observations "$data/observations.parquet" --timestamp-column timestamp --out "$data/train.parquet" -o none
alvara features get-online --feature-store "$store" -g "$group" --features transactions:1 accounts:1 --keys accountID=A1,A2,A3 -o table
