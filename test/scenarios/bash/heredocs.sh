x=value
cat <<EOF
expanded $x $(echo command) $((1+1)) \$x "quotes"
EOF
cat <<'EOF'
literal $x $(echo command)
EOF
cat <<-EOF
	tabs are stripped
		two
	EOF
cat <<A; cat <<B
first
A
second
B
cat <<< "here string $x"
while read -r l; do echo "[$l]"; done <<EOF
  spaces are stripped  
back\slash
EOF
cat <<EOF | tr a-z A-Z | sed 's/^/> /'
piped
EOF
f() { cat; }
f <<EOF
to a function
EOF
sh <<'EOF'
echo "script from a here-document: $0 $#"
EOF
{ for i in $(seq 20000); do echo "a long here-document, line $i"; done; } > long
eval "cat <<EOF | cksum
$(cat long)
EOF"
cat <<EOF
never ended
