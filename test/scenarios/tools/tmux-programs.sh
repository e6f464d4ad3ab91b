export LC_ALL=C.UTF-8 TERM=xterm; printf 'alpha\nbeta\ngamma\n' > /tmp/list
wait_for() { for i in $(seq 30); do sleep 0.3; tmux capture-pane -p | grep -q "$1" && return; done; echo "no $1"; }
tmux -f /dev/null new-session -d -x 40 -y 8 'cat'
sleep 0.5; tmux send-keys 'typed' Enter; sleep 1; tmux capture-pane -p | head -2
tmux respawn-pane -k 'less /tmp/list'; wait_for alpha; tmux capture-pane -p | head -4
tmux respawn-pane -k 'vi -u NONE /tmp/list'; wait_for gamma; tmux send-keys 'Goadded' Escape ':wq' Enter; for i in $(seq 30); do sleep 0.3; grep -q added /tmp/list && break; done; cat /tmp/list
tmux kill-server 2> /dev/null; true
