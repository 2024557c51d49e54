#!/bin/bash
# A harness on a real git repository: each session commits its feature. It notes each session and its key in $HARNESS_ROOT.
set -eu
input=$(cat)
field() { sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p" <<<"$input"; }
agent=$(field agent_name) type=$(field session_type) id=$(field feature_id)
repo="$HARNESS_ROOT/$agent"
echo "$type $id" >>"$HARNESS_ROOT/sessions"
export GIT_AUTHOR_NAME=harness GIT_AUTHOR_EMAIL=h@example.com GIT_COMMITTER_NAME=harness GIT_COMMITTER_EMAIL=h@example.com

case $type in
initializer)
    git init -q -b main "$repo"
    cd "$repo"
    {
        echo "{\"agent_name\": \"$agent\", \"total_features\": 2, \"features\": ["
        echo '{"id": 1, "description": "reads", "passes": false, "dependencies": []},'
        echo '{"id": 2, "description": "writes", "passes": false, "dependencies": [1]}]}'
    } >feature_list.json
    git add . && git commit -qm "initialize"
    cat feature_list.json
    ;;
features) cat "$repo/feature_list.json" ;;
coding)
    cd "$repo"
    sed -i "/\"id\": $id,/s/\"passes\": false/\"passes\": true/" feature_list.json
    git commit -qam "feature $id"
    echo "{\"feature_id\": $id, \"commit\": \"$(git rev-parse --short HEAD)\"}"
    ;;
deploy) echo "{\"version\": \"$(git -C "$repo" rev-parse --short HEAD)\", \"health_url\": \"http://127.0.0.1/health\"}" ;;
smoke) echo '{}' ;;
*) echo '{"error": "session_type: unknown", "retry": false}' && exit 2 ;;
esac
