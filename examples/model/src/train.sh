# observations epochs model-folder: runs inside the job, as the identity of its compute.
set -e
export ALVARA_CONFIG_DIR=/alvara/run/profile
alvara login --identity -o none
alvara features get-offline --on-server --feature-retrieval-spec feature_retrieval_spec.yaml \
  --observations "$1" --timestamp-column timestamp --out train.csv -o none
alvara example train --data train.csv --spec feature_retrieval_spec.yaml --epochs "$2" --out "$3"
