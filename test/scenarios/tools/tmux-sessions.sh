export LC_ALL=C.UTF-8 TERM=xterm
tmux -f /dev/null new-session -d -s work -n first -x 60 -y 10 'sh'
tmux send-keys -t work 'PS1="> "; clear; echo in tmux; stty size' Enter
for i in $(seq 30); do sleep 0.3; tmux capture-pane -p -t work | grep -q '^10 60' && break; done
tmux capture-pane -p -t work | head -3; tmux list-sessions -F '#{session_name} #{window_width}x#{window_height} #{session_attached}'
tmux new-window -t work -n second 'sleep 100'; tmux list-windows -t work -F '#{window_index} #{window_name} #{window_panes}'
tmux split-window -t work:1 'sleep 200'; tmux list-panes -t work:1 -F '#{pane_index} #{pane_width}x#{pane_height} #{pane_dead}'
tmux set-option -g @mine value; tmux show-options -gv @mine; tmux set-buffer 'buffer text'; tmux show-buffer; echo
tmux rename-session -t work other; tmux has-session -t work 2> /dev/null || echo renamed; tmux display-message -p -t other '#{session_windows} windows'
tmux kill-server; for i in $(seq 20); do sleep 0.2; tmux has-session 2> /dev/null || break; done; tmux list-sessions > /dev/null 2>&1; echo "status $?"
