n=2000
for ((i=2;i<=n;i++)); do c[i]=0; done
for ((i=2;i*i<=n;i++)); do ((c[i])) || for ((j=i*i;j<=n;j+=i)); do c[j]=1; done; done
for ((i=2;i<=n;i++)); do ((c[i])) || primes+=($i); done
echo ${#primes[@]} ${primes[-1]} ${primes[@]:0:10}
collatz() { local n=$1 s=0; while ((n!=1)); do ((n%2)) && ((n=3*n+1)) || ((n/=2)); ((s++)); done; echo $s; }
collatz 97
