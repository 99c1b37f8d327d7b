# Does what `write_files` of a user-data document says, as far as hob writes it: JSON
# after a first line `#cloud-config`, with files that have path, permissions and content.
# ROOT is put before each path.
#
#     awk -v ROOT= -f write-files.awk user-data

NR > 1 { text = text $0 "\n" }

END {
    at = 1
    value("")
    skip()
    if (at <= length(text)) give_up("more after the end")
}

function give_up(why) {
    print "user-data: " why " at character " at >"/dev/stderr"
    exit 1
}

function skip() {
    while (substr(text, at, 1) ~ /[ \t\n\r]/) at++
}

function expect(wanted) {
    skip()
    if (substr(text, at, length(wanted)) != wanted) give_up("no " wanted)
    at += length(wanted)
}

# Reads a value. Its path says where it is in the document: names and `[]`.
function value(path,    first, name, word) {
    skip()
    first = substr(text, at, 1)
    if (first == "{") {
        at++
        skip()
        if (substr(text, at, 1) == "}") { at++; return }
        do {
            skip()
            name = string()
            expect(":")
            value(path "." name)
            skip()
            first = substr(text, at++, 1)
        } while (first == ",")
        if (first != "}") give_up("no }")
        if (path == ".write_files[]") write_file()
    } else if (first == "[") {
        at++
        skip()
        if (substr(text, at, 1) == "]") { at++; return }
        do {
            value(path "[]")
            skip()
            first = substr(text, at++, 1)
        } while (first == ",")
        if (first != "]") give_up("no ]")
    } else if (first == "\"") {
        word = string()
        if (substr(path, 1, 15) == ".write_files[].") file[substr(path, 16)] = word
    } else {
        match(substr(text, at), /^[-+.a-zA-Z0-9]+/)
        if (RLENGTH < 1) give_up("no value")
        at += RLENGTH
    }
}

function string(    all, c, code) {
    if (substr(text, at, 1) != "\"") give_up("no string")
    at++
    all = ""
    while ((c = substr(text, at++, 1)) != "\"") {
        if (c == "") give_up("a string without an end")
        if (c == "\\") {
            c = substr(text, at++, 1)
            if (c == "n") c = "\n"
            else if (c == "t") c = "\t"
            else if (c == "r") c = "\r"
            else if (c == "u") {
                code = hex(substr(text, at, 4))
                if (code == 0 || code > 126) give_up("a character that is not ASCII")
                c = sprintf("%c", code)
                at += 4
            }
        }
        all = all c
    }
    return all
}

function hex(digits,    i, number) {
    number = 0
    for (i = 1; i <= length(digits); i++)
        number = number * 16 + index("0123456789abcdef", tolower(substr(digits, i, 1))) - 1
    return number
}

function write_file(    path, mode, directory) {
    path = ROOT file["path"]
    mode = file["permissions"]
    if (path !~ /^[-A-Za-z0-9\/._]+$/ || mode !~ /^[0-7]+$/) give_up("a strange path or mode")
    directory = path
    sub(/\/[^\/]*$/, "", directory)
    system("mkdir -p " directory " && : >" path " && chmod " mode " " path)
    printf "%s", file["content"] >path
    close(path)
    split("", file)
}
