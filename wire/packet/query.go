package packet

// parseQuery reads the arguments of command 2. Both are optional; absent, null
// and, for a uuid, "" are the same. queryArgs goes before pullargs: its size and bytes
// count, and with a uuid the offset does not.
func parseQuery(pull, query *member) (args QueryArgs, ok bool) {
	args.Size = DefaultQuerySize
	var window [3]member
	if !parseArgs(pull, []string{"offset", "size", "bytes"}, window[:]) {
		return args, false
	}
	var around [4]member
	if !parseArgs(query, []string{"uuid", "before", "size", "bytes"}, around[:]) {
		return args, false
	}
	if !parseInt(&args.Offset, &window[0], -maxQueryOffset, maxQueryOffset) ||
		!parseInt(&args.Size, &window[1], 0, MaxQuerySize) ||
		!parseInt(&args.Size, &around[2], 0, MaxQuerySize) ||
		!parseInt(&args.Bytes, &window[2], 1, MaxQueryBytes) ||
		!parseInt(&args.Bytes, &around[3], 1, MaxQueryBytes) {
		return args, false
	}
	if window[1].absent() && around[2].absent() && args.Bytes == 0 {
		args.Bytes = DefaultQueryBytes
	}
	var okAfter, okBefore bool
	args.After, okAfter = optionalUUID(&around[0])
	args.Before, okBefore = optionalUUID(&around[1])
	if !okAfter || !okBefore || args.After != "" && args.Before != "" {
		return args, false
	}
	if args.After != "" || args.Before != "" {
		args.Offset = 0
	}
	return args, true
}

// parseArgs reads an object of arguments, if there is one.
func parseArgs(m *member, names []string, found []member) bool {
	if m.absent() {
		return true
	}
	s := scanner{b: m.raw}
	return m.sole() && s.object(names, found, nil)
}

// parseInt reads an integer literal into n, which stays when there is none.
func parseInt(n *int, m *member, low, high int) bool {
	if m.absent() {
		return true
	}
	if !m.sole() {
		return false
	}
	digits, sign := m.raw, int64(1)
	if digits[0] == '-' {
		digits, sign = digits[1:], -1
	}
	v := int64(0)
	for _, c := range digits {
		if !isDigit(c) || v > int64(high) {
			return false
		}
		v = v*10 + int64(c-'0')
	}
	v *= sign
	if v < int64(low) || v > int64(high) {
		return false
	}
	*n = int(v)
	return true
}
