// Package condition reads and evaluates the conditions of role assignments, version 2.0 of Azure's attribute-based access
// control. It owns the language, the operators and the list of attributes; it knows nothing of roles and assignments, reads
// nothing and keeps nothing. The planes tell the attributes, the access engine asks Holds.
package condition
