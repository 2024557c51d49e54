#!/bin/bash
# A harness on a real git repository. What an agent's features are, and which sessions fail, hang or crash, is the scenario's:
# $HARNESS_ROOT/scenario has the functions `features`, which prints the list, and `disturb FEATURE.SESSION`. Each session is noted in
# $HARNESS_ROOT/sessions.
set -eu
. "$HARNESS_ROOT/scenario"
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
        features "$agent" >feature_list.json
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
    disturb "$id.$attempt"
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
