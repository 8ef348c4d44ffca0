// Package alarm reports problems of a process, in lines for its operator.
package alarm

import (
	"fmt"
	"os"
	"time"

	"github.com/gotapi/gotapi-ws/services/tlsfiles"
)

// Alarm is one problem.
type Alarm struct {
	// Name is that of an alert. docs/operations.md has a section of that name.
	Name string `json:"name"`
	// Text is one line: the problem, and what to do.
	Text string `json:"text"`
}

// Names of alerts that any process may raise.
const (
	certificateExpires = "GotapiCertificateExpires"
	fileDescriptors    = "GotapiFileDescriptors"
	settingsRefused    = "GotapiSettingsRefused"
)

const (
	// expiresSoon is how long before its end a certificate is an alarm.
	expiresSoon = 14 * 24 * time.Hour
	// filesShare is the part of its file descriptors that a process may use without an
	// alarm.
	filesShare = 0.8
)

// Of returns all, each with the name of its process in front.
func Of(process string, all ...Alarm) []Alarm {
	named := make([]Alarm, len(all))
	for i, a := range all {
		named[i] = Alarm{a.Name, process + ": " + a.Text}
	}
	return named
}

// Certificates returns an alarm for each certificate that ends within 14 days of now. Nil
// files have none.
func Certificates(now time.Time, files ...*tlsfiles.Files) (all []Alarm) {
	for _, f := range files {
		if f == nil {
			continue
		}
		ends := f.Expires()
		if ends.IsZero() || ends.Sub(now) > expiresSoon {
			continue
		}
		all = append(all, Alarm{certificateExpires, fmt.Sprintf(
			"the certificate for %s ends at %s: overwrite the files with the new one and its key; no restart is needed",
			f.Use(), ends.UTC().Format(time.RFC3339))})
	}
	return all
}

// Files returns an alarm if more than four fifths of most files are open; what is their
// name. most is 0 without a limit.
func Files(what string, open, most int) []Alarm {
	if most == 0 || float64(open) <= filesShare*float64(most) {
		return nil
	}
	return []Alarm{{fileDescriptors, fmt.Sprintf("%d of %d %s are open: raise LimitNOFILE (ulimit -n), or add a process", open, most, what)}}
}

// BrokenFile returns an alarm if the file that a flag names could not be used.
func BrokenFile(flag string, failure error) []Alarm {
	if failure == nil {
		return nil
	}
	return []Alarm{{settingsRefused, fmt.Sprintf("the new content of -%s is not used, and what it held before is: correct the file, which needs no restart (%v)", flag, failure)}}
}

// OpenFiles returns how many file descriptors the process has open; 0: unknown. Its time
// grows with their number.
func OpenFiles() int {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(open)
}
