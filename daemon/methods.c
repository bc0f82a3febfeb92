/* See methods.h. */
#include "methods.h"

#include "protocol.h"

extern const char idl_session[], idl_root[];

int methods_add(Methods *m, Server *s)
{
        int r;

        m->session_interface = (Interface){ SESSION, idl_session, session_methods, m };
        m->root_interface = (Interface){ ROOT, idl_root, root_methods, m };
        r = server_add_interface(s, &m->session_interface);
        return r < 0 ? r : server_add_interface(s, &m->root_interface);
}
