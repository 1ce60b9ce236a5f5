# Stands in for winbind's ntlm_auth. What a client says follows the head of its message after a bar:
# `WHO:PASSWORD:CHALLENGE`, or how the helper is to fail.
made=0
while read -r verb token; do
    said=$(printf %s "$token" | base64 -d | tr -d '\000' | cut -d '|' -f 2)
    case "$verb $said" in
    *hang*) exec sleep 600 ;;
    *die*) exit 1 ;;
    *garbage*) printf 'AF\001EXAMPLE\\alice\n' ;;
    *endless*) exec tr '\000' A </dev/zero ;;
    *twice*) printf 'AF EXAMPLE\\alice\nAF EXAMPLE\\alice\n' ;;
    *otherwise*) printf 'TT TlRMTVNTUAABAAAA\n' ;;
    *broken*) echo 'BH NT_STATUS_UNSUCCESSFUL' ;;
    *offline*) echo 'NA NT_STATUS_NO_LOGON_SERVERS' ;;
    'YR '*)
        made=$((made + 1))
        printf 'TT %s\n' "$(printf 'NTLMSSP\000\002\000\000\000|%s' "$$.$made" | base64 | tr -d '\n')"
        ;;
    'KK '*":right:$$.$made") printf 'AF %s\n' "${said%%:*}" ;;
    *) echo 'NA NT_STATUS_WRONG_PASSWORD' ;;
    esac
done
