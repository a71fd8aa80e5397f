package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"strings"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

const (
	shards        = 64 // fewer callers wait for each other's lock
	organizations = 100
	lifetime      = 365 * 24 * time.Hour
	perSecond     = 1_000_000 // the limit is looked at, and never reached
)

type digest [sha256.Size]byte

// organization is shared by its keys, so that suspending it is one write.
type organization struct {
	id        string
	suspended bool
}

// record is what is known of a key; its text is not.
type record struct {
	id           string
	organization *organization
	kind         string
	environment  string
	scopes       map[string]bool
	scopesHeader string
	expires      time.Time
	bucket       *rate.Limiter
}

var customers = func() (all [organizations]*organization) {
	for number := range all {
		all[number] = &organization{id: fmt.Sprintf("org_%026d", number)}
	}
	return
}()

func generatedKey(number int) string { return fmt.Sprintf("vk_live_%030d", number) }

func newRecord(number int) *record {
	scopes := []string{"sessions:read", "sessions:write"}
	held := make(map[string]bool, len(scopes))
	for _, scope := range scopes {
		held[scope] = true
	}
	return &record{
		id:           fmt.Sprintf("key_%026d", number),
		organization: customers[number%organizations],
		kind:         "secret",
		environment:  "live",
		scopes:       held,
		scopesHeader: strings.Join(scopes, " "),
		expires:      time.Now().Add(lifetime),
		bucket:       rate.NewLimiter(perSecond, perSecond),
	}
}

// store finds records by the digest of a key's text.
type store struct {
	parts [shards]*lru.Cache[digest, *record]
}

func newStore(capacity int) (*store, error) {
	made := &store{}
	for number := range made.parts {
		part, err := lru.New[digest, *record](capacity/shards + 1)
		if err != nil {
			return nil, err
		}
		made.parts[number] = part
	}
	return made, nil
}

func (s *store) part(of digest) *lru.Cache[digest, *record] { return s.parts[of[0]%shards] }
func (s *store) put(key digest, found *record)              { s.part(key).Add(key, found) }
func (s *store) get(key digest) (*record, bool)             { return s.part(key).Get(key) }

// hasher keeps keyed states: resetting one costs less than making one.
type hasher struct{ states sync.Pool }

func newHasher(pepper []byte) *hasher {
	return &hasher{states: sync.Pool{New: func() any { return hmac.New(sha256.New, pepper) }}}
}

func (h *hasher) digest(key string) (sum digest) {
	state := h.states.Get().(hash.Hash)
	state.Reset()
	state.Write([]byte(key))
	state.Sum(sum[:0])
	h.states.Put(state)
	return sum
}
