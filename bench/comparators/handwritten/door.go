package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strings"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
)

const credential = "x-api-key"

// route says what a request needs; none means that it is refused.
type route struct{ method, path, scope string }

var exact = []route{
	{"GET", "/api/v1/sessions", "sessions:read"},
	{"POST", "/api/v1/sessions", "sessions:write"},
}

const oneSession = "/api/v1/sessions/" // and an id

func scopeFor(method, path string) (scope string, known bool) {
	for _, known := range exact {
		if known.method == method && known.path == path {
			return known.scope, true
		}
	}
	if id, found := strings.CutPrefix(path, oneSession); found && method == "GET" && !strings.Contains(id, "/") {
		return "sessions:read", true
	}
	return "", false
}

// door answers Envoy.
type door struct {
	authv3.UnimplementedAuthorizationServer
	records *store
	hasher  *hasher
}

func (d *door) Check(_ context.Context, request *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	asked := request.GetAttributes().GetRequest().GetHttp()
	id := newDecisionID()
	key := asked.GetHeaders()[credential]
	if key == "" {
		return deny(unauthorized, id), nil
	}
	found, known := d.records.get(d.hasher.digest(key))
	now := time.Now()
	if !known || !now.Before(found.expires) {
		return deny(invalidKey, id), nil
	}
	if found.organization.suspended {
		return deny(suspended, id), nil
	}
	path, _, _ := strings.Cut(asked.GetPath(), "?")
	scope, known := scopeFor(asked.GetMethod(), path)
	if !known {
		return deny(noRoute, id), nil
	}
	if !found.scopes[scope] {
		return deny(noScope, id), nil
	}
	if !found.bucket.AllowN(now, 1) {
		return deny(rateLimited, id), nil
	}
	return allow(found, id), nil
}

func newDecisionID() string {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails
	return hex.EncodeToString(random[:])
}
