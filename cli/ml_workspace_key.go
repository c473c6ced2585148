package cli

import "github.com/alvara-ml/alvara/cli/document"

// customerKeyFlags ask for encryption with a key of one's own (MI-17). Whether that is offered is the server's to say.
type customerKeyFlags struct {
	CMKKeyVault string `name:"cmk-keyvault" placeholder:"ID" help:"Vault of the key by which the workspace's data is to be encrypted."`
	CMKKeyURI   string `name:"resource-cmk-uri" placeholder:"URI" help:"That key."`
	CMKIdentity string `name:"user-assigned-identity-for-cmk-encryption" placeholder:"ID" help:"User-assigned identity that reads the key; it may be the primary one."`
}

// apply puts what was asked for into the words of the file.
func (f customerKeyFlags) apply(given *document.Object) {
	key := given.Object("customer_managed_key").Clone()
	key.SetIf("key_vault", f.CMKKeyVault).SetIf("key_uri", f.CMKKeyURI).SetIf("user_assigned_identity", f.CMKIdentity)
	given.SetIf("customer_managed_key", key)
}

// encryptionOfFile is a key of one's own on the wire; nil when there is none.
func encryptionOfFile(given *document.Object) (*document.Object, error) {
	if given.Len() == 0 {
		return nil, nil
	}
	if err := knownFields("customer_managed_key", given, "key_vault", "key_uri", "user_assigned_identity"); err != nil {
		return nil, err
	}
	out := document.New("status", "Enabled", "keyVaultProperties",
		document.New().SetIf("keyVaultArmId", given.Text("key_vault")).SetIf("keyIdentifier", given.Text("key_uri")))
	if id := given.Text("user_assigned_identity"); id != "" {
		out.Set("identity", document.New("userAssignedIdentity", id))
	}
	return out, nil
}
