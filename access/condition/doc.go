// Package condition reads and evaluates the conditions of role assignments, version 2.0 of Azure's attribute-based access
// control, as in
//
//	(
//	  ( !(ActionMatches{'Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read'}) )
//	  OR
//	  ( @Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name] StringEquals 'reports' )
//	)
//
// It owns the language, the operators and the list of attributes. It knows nothing of roles and assignments, reads nothing
// and keeps nothing: the planes tell the attributes, the access engine asks Holds.
//
// The rules:
//
//   - AND (&&), OR (||), NOT (!) and parentheses join tests. AND and OR side by side need parentheses.
//   - A test is ActionMatches{'pattern'}, SubOperationMatches{'name'}, Exists or NotExists with an attribute, or a
//     comparison: an attribute or value, an operator, an attribute or value.
//   - String operators compare text, Numeric whole numbers, Bool, Guid and DateTime what their names say. A text that is no
//     such value counts as missing.
//   - ForAnyOfAnyValues:, ForAllOfAnyValues:, ForAnyOfAllValues: and ForAllOfAllValues: compare sets. The first word is for
//     the values on the left, the second for those on the right. Other operators compare one value with one.
//   - A comparison with an attribute that is missing is false, and false too when it is negated: nobody is let in because
//     a plane did not tell something. Ask NotExists to let such requests pass.
//   - What is unknown is refused when the condition is read.
package condition
