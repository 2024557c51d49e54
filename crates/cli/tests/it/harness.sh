#!/bin/bash
# A harness on a real git repository whose sessions edit, commit, fail, hang and crash, each at its time.
set -eu
input=$(cat)
field() { sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p" <<<"$input"; }
agent=$(field agent_name) type=$(field session_type) id=$(field feature_id)
repo="$HARNESS_ROOT/$agent"
echo "$type $id" >>"$HARNESS_ROOT/sessions"
export GIT_AUTHOR_NAME=harness GIT_AUTHOR_EMAIL=h@example.com GIT_COMMITTER_NAME=harness GIT_COMMITTER_EMAIL=h@example.com

case $type in
initializer)
    if [ ! -d "$repo" ]; then
        git init -q -b main "$repo"
        cd "$repo"
        {
            echo "{\"agent_name\": \"$agent\", \"total_features\": 20, \"features\": ["
            for n in 1 2 3 4 5 6; do
                needs='[]' && [ $n = 6 ] && needs='[1, 4]'
                echo "{\"id\": $n, \"description\": \"feature $n\", \"passes\": false, \"dependencies\": $needs},"
            done
            echo '{"id": 7, "description": "feature 7", "passes": false, "dependencies": [5]}]}'
        } >feature_list.json
        touch agent.py
        git add . && git commit -qm "initialize"
    fi
    cat "$repo/feature_list.json"
    ;;
features) cat "$repo/feature_list.json" ;;
coding)
    cd "$repo"
    attempt=$(grep -c "^coding $id$" "$HARNESS_ROOT/sessions")
    echo "session $attempt of feature $id" >>agent.py
    echo "working on feature $id with key $FIBREFLOW_KEY" >&2
    case "$id.$attempt" in
    2.1) echo "API error 429: $MODEL_KEY" >&2 && exit 1 ;;
    3.1) sleep 600 ;;
    4.1) kill -9 $$ ;;
    5.*) echo "the tests fail" >&2 && exit 1 ;;
    6.1) sleep "${SLOW:-0}" ;;
    esac
    sed -i "/\"id\": $id,/s/\"passes\": false/\"passes\": true/" feature_list.json
    git commit -qam "feature $id"
    echo "{\"feature_id\": $id, \"commit\": \"$(git rev-parse --short HEAD)\"}"
    ;;
review)
    cd "$repo"
    sed -i '/"id": 5,/s/"passes"/"manual_review_needed": true, "passes"/' feature_list.json
    git commit -qam "mark for review"
    echo '{}'
    ;;
deploy) echo "{\"version\": \"$(git -C "$repo" rev-parse --short HEAD)\", \"health_url\": \"http://127.0.0.1/health\"}" ;;
smoke | rollback) echo '{}' ;;
*) echo '{"error": "session_type: unknown", "retry": false}' && exit 2 ;;
esac
