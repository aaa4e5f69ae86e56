"""What a transform shows Beam when the job graph is built: types, outputs, names, errors, facts."""
