package packet

// Commands (docs/protocol.md, section 2).
const (
	CommandAck         = 1
	CommandQuery       = 2
	CommandCustomerAck = 3
	CommandWaitressAck = 4
	CommandPing        = 5
	CommandRecall      = 6
	CommandError       = 7
)
