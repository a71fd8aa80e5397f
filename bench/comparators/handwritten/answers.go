package main

import (
	"encoding/json"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"
)

type refusal struct {
	code   codes.Code
	status typev3.StatusCode
	reason string
	text   string
}

var (
	unauthorized = refusal{codes.Unauthenticated, 401, "unauthorized", "A key is needed."}
	invalidKey   = refusal{codes.Unauthenticated, 401, "invalid_key", "The key is not valid."}
	suspended    = refusal{codes.PermissionDenied, 403, "organization_suspended", "The organization is suspended."}
	noRoute      = refusal{codes.PermissionDenied, 403, "route_not_configured", "No rule covers this request."}
	noScope      = refusal{codes.PermissionDenied, 403, "insufficient_scope", "The key lacks a scope."}
	rateLimited  = refusal{codes.ResourceExhausted, 429, "rate_limited", "Too many requests."}
)

type problem struct {
	Reason     string `json:"reason"`
	Detail     string `json:"detail"`
	DecisionID string `json:"decision_id"`
}

func deny(why refusal, id string) *authv3.CheckResponse {
	body, _ := json.Marshal(problem{why.reason, why.text, id}) // three strings: never fails
	return &authv3.CheckResponse{
		Status: &status.Status{Code: int32(why.code), Message: why.reason},
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
			Status: &typev3.HttpStatus{Code: why.status},
			Headers: []*corev3.HeaderValueOption{
				set("content-type", "application/problem+json"),
				set("x-authsvc-decision-id", id),
			},
			Body: string(body),
		}},
	}
}

func allow(found *record, id string) *authv3.CheckResponse {
	return &authv3.CheckResponse{
		Status: &status.Status{Code: int32(codes.OK)},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{
			Headers: []*corev3.HeaderValueOption{
				set("x-authsvc-key-id", found.id),
				set("x-authsvc-organization", found.organization.id),
				set("x-authsvc-kind", found.kind),
				set("x-authsvc-environment", found.environment),
				set("x-authsvc-scopes", found.scopesHeader),
				set("x-authsvc-decision-id", id),
			},
			HeadersToRemove: []string{credential},
		}},
		DynamicMetadata: &structpb.Struct{Fields: map[string]*structpb.Value{
			"key_id":          structpb.NewStringValue(found.id),
			"organization_id": structpb.NewStringValue(found.organization.id),
			"environment":     structpb.NewStringValue(found.environment),
			"decision_id":     structpb.NewStringValue(id),
		}},
	}
}

func set(name, value string) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: name, Value: value},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}
