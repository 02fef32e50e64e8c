def show(steps, boot): pass
