// validity reads profiles the way every Go client does, checks each with google/pprof's own check and with the conventions
// that clients of other kinds rely on, and prints it as JSON, a line each (null where it cannot be read). Exit 1 and a line for each fault if one is not in order.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/google/pprof/profile"
)

type mapping struct {
	File         string `json:"file"`
	Start        uint64 `json:"start"`
	Limit        uint64 `json:"limit"`
	BuildID      string `json:"build_id"`
	HasFunctions bool   `json:"has_functions"`
}

// Its functions, innermost first.
type location struct {
	Functions []string `json:"functions"`

	Mapping int    `json:"mapping"`
	Address uint64 `json:"address"`
}

type sample struct {
	Values     []int64             `json:"values"`
	Labels     map[string][]string `json:"labels"`
	NumLabels  map[string][]int64  `json:"num_labels,omitempty"`
	LabelUnits map[string][]string `json:"label_units,omitempty"`
	Locations  []int               `json:"locations"`
}

type document struct {
	SampleTypes   []string   `json:"sample_types"`
	PeriodType    string     `json:"period_type"`
	Period        int64      `json:"period"`
	DefaultType   string     `json:"default_type"`
	TimeNanos     int64      `json:"time_nanos"`
	DurationNanos int64      `json:"duration_nanos"`
	Comments      []string   `json:"comments"`
	Sums          []int64    `json:"sums"`
	Mappings      []mapping  `json:"mappings"`
	Locations     []location `json:"locations"`
	Samples       []sample   `json:"samples"`
}

var faults []string

func fault(format string, values ...interface{}) {
	if len(faults) < 20 {
		faults = append(faults, fmt.Sprintf(format, values...))
	}
}

func checkText(what, text string) {
	if !utf8.ValidString(text) {
		fault("%s is not UTF-8: %q", what, text)
	}
}

// checkFlags: a flag may be set only if each location of the mapping is resolved to that degree.
func checkFlags(p *profile.Profile) {
	for _, l := range p.Location {
		m := l.Mapping
		if m == nil {
			fault("location %d has no mapping", l.ID)
			continue
		}
		if l.Address < m.Start || l.Address >= m.Limit {
			fault("location %d at %#x is outside its mapping %#x-%#x %s", l.ID, l.Address, m.Start, m.Limit, m.File)
		}
		if m.HasFunctions && len(l.Line) == 0 {
			fault("mapping %s says that it has functions, location %#x has none", m.File, l.Address)
		}
		for _, line := range l.Line {
			if line.Function == nil {
				continue
			}
			if line.Function.Name == "" {
				fault("a function of location %#x has no name", l.Address)
			}
			if m.HasFilenames && line.Function.Filename == "" {
				fault("mapping %s says that it has file names, function %s has none", m.File, line.Function.Name)
			}
			if m.HasLineNumbers && line.Line == 0 {
				fault("mapping %s says that it has lines, function %s has none", m.File, line.Function.Name)
			}
		}
	}
}

func checkConventions(p *profile.Profile, name string) {
	for i, m := range p.Mapping {
		if m.ID != uint64(i+1) {
			fault("mapping %d has id %d", i, m.ID)
		}
		checkText("a mapping's file", m.File)
	}
	for i, l := range p.Location {
		if l.ID != uint64(i+1) {
			fault("location %d has id %d", i, l.ID)
		}
	}
	for i, f := range p.Function {
		if f.ID != uint64(i+1) {
			fault("function %d has id %d", i, f.ID)
		}
		checkText("a function's name", f.Name)
		checkText("a function's system name", f.SystemName)
	}
	for i, s := range p.Sample {
		if len(s.Location) == 0 {
			fault("sample %d has no stack", i)
		}
		if len(s.Value) != len(p.SampleType) {
			fault("sample %d has %d values", i, len(s.Value))
		}
		for key, values := range s.NumLabel {
			if len(values) != 1 {
				fault("sample %d has %d values of label %s", i, len(values), key)
			}
		}
		for key, values := range s.Label {
			if len(values) != 1 {
				fault("sample %d has %d values of label %s", i, len(values), key)
			}
			for _, value := range values {
				checkText("label "+key, value)
			}
			if _, both := s.NumLabel[key]; both {
				fault("sample %d has label %s as a string and as a number", i, key)
			}
		}
	}
	// What counts since the process began has no duration: clients would divide by it. A delta, told by the file's name, has.
	lasts := p.PeriodType != nil && (p.PeriodType.Type == "cpu" || p.PeriodType.Type == "wall") ||
		strings.HasSuffix(name, "-delta")
	if p.TimeNanos <= 0 || (p.DurationNanos > 0) != lasts {
		fault("time %d, duration %d", p.TimeNanos, p.DurationNanos)
	}
	checkFlags(p)
}

// read answers null where there is no profile in the file.
func read(name string) *document {
	file, err := os.Open(name)
	if err != nil {
		fault("%v", err)
		return nil
	}
	defer file.Close()
	p, err := profile.Parse(file)
	if err == nil {
		err = p.CheckValid()
	}
	if err != nil {
		fault("%v", err)
		return nil
	}
	checkConventions(p, name)

	d := document{
		Period:        p.Period,
		DefaultType:   p.DefaultSampleType,
		TimeNanos:     p.TimeNanos,
		DurationNanos: p.DurationNanos,
		Comments:      p.Comments,
		Sums:          make([]int64, len(p.SampleType)),
	}
	if p.PeriodType != nil {
		d.PeriodType = p.PeriodType.Type + "/" + p.PeriodType.Unit
	}
	for _, t := range p.SampleType {
		d.SampleTypes = append(d.SampleTypes, t.Type+"/"+t.Unit)
	}
	for _, m := range p.Mapping {
		d.Mappings = append(d.Mappings, mapping{m.File, m.Start, m.Limit, m.BuildID, m.HasFunctions})
	}
	for _, l := range p.Location {
		shown := location{Mapping: int(l.Mapping.ID) - 1, Address: l.Address}
		for _, line := range l.Line {
			if line.Function != nil {
				shown.Functions = append(shown.Functions, line.Function.Name)

			}
		}
		d.Locations = append(d.Locations, shown)
	}
	for _, s := range p.Sample {
		shown := sample{Values: s.Value, Labels: s.Label, NumLabels: s.NumLabel, LabelUnits: s.NumUnit}
		for i, value := range s.Value {
			d.Sums[i] += value
		}
		for _, l := range s.Location {
			shown.Locations = append(shown.Locations, int(l.ID)-1)
		}
		d.Samples = append(d.Samples, shown)
	}
	return &d
}

func main() {
	status := 0
	for _, name := range os.Args[1:] {
		faults = nil
		d := read(name)
		for _, text := range faults {
			fmt.Fprintf(os.Stderr, "%s: %s\n", name, text)
			status = 1
		}
		if err := json.NewEncoder(os.Stdout).Encode(d); err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		}
	}
	os.Exit(status)
}
