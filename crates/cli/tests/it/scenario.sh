# Seven features; a session that fails, one that hangs, one that crashes, one that never succeeds, and one that takes its time.
features() {
    echo "{\"agent_name\": \"$1\", \"total_features\": 20, \"features\": ["
    for n in 1 2 3 4 5 6; do
        needs='[]' && [ $n = 6 ] && needs='[1, 4]'
        echo "{\"id\": $n, \"description\": \"feature $n\", \"passes\": false, \"dependencies\": $needs},"
    done
    echo '{"id": 7, "description": "feature 7", "passes": false, "dependencies": [5]}]}'
}

disturb() {
    case $1 in
    2.1) echo "API error 429: $MODEL_KEY" >&2 && exit 1 ;;
    3.1) sleep 600 ;;
    4.1) kill -9 $$ ;;
    5.*) echo "the tests fail" >&2 && exit 1 ;;
    6.1) sleep "${SLOW:-0}" ;;
    esac
}
